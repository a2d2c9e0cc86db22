# Three zones, each with a public subnet for load balancers and the way out, a private one for machines and one for
# databases that has no way out at all.

locals {
  zones         = { for index, zone in var.zones : zone => index }
  is_production = var.environment == "production"
}

resource "aws_vpc" "hub" {
  cidr_block           = var.network
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id                  = aws_vpc.hub.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.network, 8, each.value)
  map_public_ip_on_launch = false

  tags = {
    Name                     = "${var.name}-public-${each.key}"
    "kubernetes.io/role/elb" = "1"
  }
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.hub.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network, 4, each.value + 1)

  tags = {
    Name                              = "${var.name}-private-${each.key}"
    "kubernetes.io/role/internal-elb" = "1"
  }
}

resource "aws_subnet" "database" {
  for_each = local.zones

  vpc_id            = aws_vpc.hub.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network, 8, each.value + 8)

  tags = { Name = "${var.name}-database-${each.key}" }
}

resource "aws_internet_gateway" "hub" {
  vpc_id = aws_vpc.hub.id

  tags = { Name = var.name }
}

# One way out for each zone: with a single one its zone's failure would cut off the others.
resource "aws_eip" "out" {
  for_each = local.zones

  domain = "vpc"

  tags = { Name = "${var.name}-out-${each.key}" }
}

resource "aws_nat_gateway" "out" {
  for_each = local.zones

  allocation_id = aws_eip.out[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  depends_on    = [aws_internet_gateway.hub]

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.hub.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.hub.id
  }

  tags = { Name = "${var.name}-public" }
}

resource "aws_route_table_association" "public" {
  for_each = local.zones

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.hub.id

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.out[each.key].id
  }

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

# Without a route of its own: nothing of a database leaves the network.
resource "aws_route_table" "database" {
  vpc_id = aws_vpc.hub.id

  tags = { Name = "${var.name}-database" }
}

resource "aws_route_table_association" "database" {
  for_each = local.zones

  subnet_id      = aws_subnet.database[each.key].id
  route_table_id = aws_route_table.database.id
}

# The default group of a network lets everything in from itself; here it lets nothing.
resource "aws_default_security_group" "none" {
  vpc_id = aws_vpc.hub.id
}

resource "aws_security_group" "data" {
  name        = "${var.name}-data"
  description = "PostgreSQL and Valkey, for the machines of the cluster alone."
  vpc_id      = aws_vpc.hub.id
}

resource "aws_vpc_security_group_ingress_rule" "postgres" {
  security_group_id            = aws_security_group.data.id
  description                  = "PostgreSQL from the cluster"
  referenced_security_group_id = aws_eks_cluster.hub.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_ingress_rule" "valkey" {
  security_group_id            = aws_security_group.data.id
  description                  = "Valkey from the cluster"
  referenced_security_group_id = aws_eks_cluster.hub.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}
