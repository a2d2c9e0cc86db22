terraform {
  required_version = "~> 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  # Whoever reads the state reads everything: it lies encrypted in a bucket of its own, locked while it is changed. Bucket
  # and region are given to `terraform init -backend-config=…`.
  backend "s3" {
    key          = "kutanga-hub/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project     = var.name
      environment = var.environment
      managed-by  = "terraform"
    }
  }
}
