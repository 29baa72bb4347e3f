"""A CDK app of ten lines with a census segmentation in a stack of its own."""

from aws_cdk import App, CfnOutput, Stack

from census_segmentation.construct import CensusSegmentation, Settings

app = App()
stack = Stack(app, "Analysis")
segmentation = CensusSegmentation(stack, "Segmentation", settings=Settings(name="analysis", clusters=6))
CfnOutput(stack, "Incoming", value=segmentation.incoming.bucket_name)
CfnOutput(stack, "Results", value=segmentation.results.bucket_name)
CfnOutput(stack, "StateMachine", value=segmentation.state_machine.state_machine_arn)
app.synth()
