"""The deployed resources: one construct per file, and the stack that connects them."""

import os

# Suppresses the warning about Node.js 20 that jsii prints on every synth. jsii reads it when aws_cdk is imported.
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"
