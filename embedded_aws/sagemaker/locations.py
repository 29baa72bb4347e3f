"""Where requests say that objects are in S3."""


def split_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key`, or the same with `https`, into bucket and key.

    SageMaker accepts both (API reference, S3DataSource). CDK's `S3Location` writes `https://s3.<region>.…/bucket/key`.
    """
    scheme, _, path = uri.partition("://")
    if scheme == "https":
        host, _, path = path.partition("/")
        if not host.startswith("s3."):
            path = f"{host.partition('.s3.')[0]}/{path}"
    bucket, _, key = path.partition("/")
    return bucket, key
