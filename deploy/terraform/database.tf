# PostgreSQL in two zones: the second follows every commit and takes over by itself, within a minute or two. The password
# is made by AWS, kept in its Secrets Manager and renewed there every seven days; it is in no file and in no state. It is not
# the hub's, which would stand before a closed door after a week: with it `manage.py database_roles` makes the roles that the
# hub logs in with.

resource "aws_db_subnet_group" "hub" {
  name       = var.name
  subnet_ids = [for subnet in aws_subnet.database : subnet.id]
}

resource "aws_db_parameter_group" "hub" {
  name   = "${var.name}-17"
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

resource "aws_db_instance" "hub" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.database_class

  multi_az               = true
  db_subnet_group_name   = aws_db_subnet_group.hub.name
  vpc_security_group_ids = [aws_security_group.data.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.hub.name

  db_name                       = "hub"
  username                      = "hub"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = aws_kms_key.hub.arn

  allocated_storage     = var.database_gb
  max_allocated_storage = var.database_gb * 5
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.hub.arn

  backup_retention_period   = var.snapshot_days
  backup_window             = "03:00-04:00"
  maintenance_window        = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot     = true
  deletion_protection       = local.is_production
  skip_final_snapshot       = !local.is_production
  final_snapshot_identifier = "${var.name}-last"

  performance_insights_enabled    = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  auto_minor_version_upgrade      = true
}

resource "aws_elasticache_subnet_group" "hub" {
  name       = var.name
  subnet_ids = [for subnet in aws_subnet.database : subnet.id]
}

# Valkey holds nothing that cannot be made again; three zones only so that nobody waits for that.
resource "aws_elasticache_replication_group" "hub" {
  replication_group_id = var.name
  description          = "Queues, limits and cache of the hub"
  engine               = "valkey"
  engine_version       = "8.0"
  node_type            = var.redis_class

  num_cache_clusters         = 3
  multi_az_enabled           = true
  automatic_failover_enabled = true

  subnet_group_name  = aws_elasticache_subnet_group.hub.name
  security_group_ids = [aws_security_group.data.id]

  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.hub.arn
  transit_encryption_enabled = true
  auth_token                 = var.redis_token

  maintenance_window = "sun:05:30-sun:06:30"
}
