"""A state machine with one function, which writes training data, and one training job of SageMaker's k-means."""

from aws_cdk import App, CfnOutput, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
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
train = tasks.SageMakerCreateTrainingJob(
    stack,
    "Train",
    integration_pattern=sfn.IntegrationPattern.RUN_JOB,  # createTrainingJob.sync
    training_job_name=sfn.JsonPath.string_at("$$.Execution.Name"),
    role=role,
    algorithm_specification=tasks.AlgorithmSpecification(
        training_image=tasks.DockerImage.from_registry(IMAGE), training_input_mode=tasks.InputMode.FILE
    ),
    hyperparameters={"k": "2", "feature_dim": "2", "mini_batch_size": "100"},
    input_data_config=[
        tasks.Channel(
            channel_name="train",
            content_type="text/csv;label_size=0",
            data_source=tasks.DataSource(
                s3_data_source=tasks.S3DataSource(s3_location=tasks.S3Location.from_bucket(bucket, "train/"))
            ),
        )
    ],
    output_data_config=tasks.OutputDataConfig(s3_output_location=tasks.S3Location.from_bucket(bucket, "models/")),
    resource_config=tasks.ResourceConfig(
        instance_count=1,
        instance_type=ec2.InstanceType.of(ec2.InstanceClass.M5, ec2.InstanceSize.LARGE),
        volume_size=Size.gibibytes(10),
    ),
).add_retry(errors=["SageMaker.AmazonSageMakerException"], interval=Duration.seconds(5))
steps = tasks.LambdaInvoke(stack, "WriteRows", lambda_function=write, result_path=sfn.JsonPath.DISCARD).next(train)
machine = sfn.StateMachine(
    stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(steps), timeout=Duration.hours(1)
)
CfnOutput(stack, "MachineArn", value=machine.state_machine_arn)
app.synth()
