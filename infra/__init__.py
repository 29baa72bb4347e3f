"""What is deployed: one construct a file, and the stack that wires them."""

import os

# Node 20 is still welcome here; CDK's runtime would greet it with a banner on every synth. Read before aws_cdk starts.
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"
