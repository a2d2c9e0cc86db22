# A copy of this is all that is needed; the token of Valkey comes from TF_VAR_redis_token.
region         = "ap-southeast-1"
zones          = ["ap-southeast-1a", "ap-southeast-1b", "ap-southeast-1c"]
admin_networks = ["203.0.113.0/24"]
# Choose one that EKS still has in standard support for long; 1.35 is until the end of March 2027.
kubernetes_version = "1.35"
