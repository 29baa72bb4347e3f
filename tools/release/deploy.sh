#!/bin/sh
# Deploys the census segmentation with the AWS CLI alone: uploads the assets and creates or updates the stack.
#
#   ./deploy.sh [--stack NAME] [--bucket NAME]
#
# --stack   the stack's name (default: census-segmentation)
# --bucket  a bucket in the stack's region for the assets; default: one named after the stack, the account and the
#           region, which is created if it does not exist
set -eu

stack=census-segmentation
bucket=
while [ $# -gt 0 ]; do
    case "$1" in
        --stack) stack=$2 && shift 2 ;;
        --bucket) bucket=$2 && shift 2 ;;
        *)
            sed -n '2,8s/^# \{0,1\}//p' "$0"
            exit 2
            ;;
    esac
done

cd "$(dirname "$0")"
command -v aws >/dev/null || { echo "error: the AWS CLI is missing; see https://aws.amazon.com/cli/" >&2; exit 1; }
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || { echo "error: no region is set; set AWS_REGION or run aws configure" >&2; exit 1; }
account=$(aws sts get-caller-identity --query Account --output text)

if [ -z "$bucket" ]; then
    bucket="$stack-assets-$account-$region"
    if ! aws s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" 2>/dev/null; then
        echo "Creating the bucket $bucket"
        aws s3 mb "s3://$bucket" --region "$region"
        aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
            BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    fi
fi

echo "Uploading the assets to $bucket"
aws s3 sync assets "s3://$bucket" --size-only --no-progress

echo "Deploying $stack to $account in $region"
aws cloudformation deploy --stack-name "$stack" --template-file template.json --s3-bucket "$bucket" \
    --parameter-overrides "AssetsBucket=$bucket" --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM \
    --no-fail-on-empty-changeset --region "$region"
aws cloudformation describe-stacks --stack-name "$stack" --region "$region" --output table \
    --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]'
