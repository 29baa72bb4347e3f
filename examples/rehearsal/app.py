"""A state machine with one function, which writes training data, and one training job of SageMaker's k-means."""

from aws_cdk import App, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks

CODE = """
import os, random, boto3
def handler(event, context):
    rows = [f"{random.gauss(row % 2 * 100, 1)},{random.gauss(row % 2 * 100, 1)}" for row in range(event["rows"])]
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key="train/rows.csv", Body="\\n".join(rows).encode())
"""
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"

app = App()
stack = Stack(app, "Clusters")
bucket = s3.Bucket(stack, "Bucket", removal_policy=RemovalPolicy.DESTROY)
write = lambda_.Function(
    stack,
    "Write",
    runtime=lambda_.Runtime.PYTHON_3_12,
    handler="index.handler",
    code=lambda_.Code.from_inline(CODE),
    environment={"BUCKET": bucket.bucket_name},
)
bucket.grant_put(write)
role = iam.Role(stack, "TrainingRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
bucket.grant_read_write(role)
writes = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
role.add_to_policy(iam.PolicyStatement(actions=["cloudwatch:PutMetricData", *writes], resources=["*"]))
train = tasks.CallAwsService(
    stack,
    "Train",
    service="sagemaker",
    action="createTrainingJob",
    iam_resources=[stack.format_arn(service="sagemaker", resource="training-job", resource_name="*")],
    additional_iam_statements=[iam.PolicyStatement(actions=["iam:PassRole"], resources=[role.role_arn])],
    parameters={
        "TrainingJobName.$": "$$.Execution.Name",
        "RoleArn": role.role_arn,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {"k": "2", "feature_dim": "2", "mini_batch_size": "100"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "ContentType": "text/csv;label_size=0",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": bucket.s3_url_for_object("train/"),
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": bucket.s3_url_for_object("models/")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    },
).add_retry(errors=["SageMaker.ThrottlingException", "SageMaker.SageMakerException"], interval=Duration.seconds(5))
steps = tasks.LambdaInvoke(stack, "WriteRows", lambda_function=write, result_path=sfn.JsonPath.DISCARD).next(train)
machine = sfn.StateMachine(
    stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(steps), timeout=Duration.hours(1)
)
CfnOutput(stack, "MachineArn", value=machine.state_machine_arn)
app.synth()
