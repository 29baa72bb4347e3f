"""An embedded AWS for clients in another environment: prints the variables that lead to it, then serves.

``python -m tests.conformance.clients.serve DIRECTORY``, with the main environment's Python; ends with its input.
"""

import json
import sys
from pathlib import Path

from embedded_aws.cloud.instance import Cloud

if __name__ == "__main__":
    with Cloud.start(Path(sys.argv[1])) as cloud:
        print(json.dumps(cloud.environment()), flush=True)
        sys.stdin.read()
