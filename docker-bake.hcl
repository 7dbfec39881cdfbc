# All images: `docker buildx bake`, or `make images`. The names are [REGISTRY/]quayside/<name>:TAG.

variable "REGISTRY" { default = "" }
variable "TAG" { default = "dev" }
variable "REVISION" { default = "" }
variable "SOURCE_DATE_EPOCH" { default = "0" }
variable "PLATFORMS" { default = "linux/amd64,linux/arm64" }

services = ["catalog", "cart", "identity", "order", "payment", "psp"]

group "default" { targets = ["service", "shopctl"] }

# What is pushed for others: every platform, with a bill of materials and its provenance.
group "release" { targets = ["service-release", "shopctl-release"] }

function "name" {
  params = [image]
  result = "${REGISTRY == "" ? "" : "${REGISTRY}/"}quayside/${image}:${TAG}"
}

target "image" {
  context = "."
  args    = { SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
  labels = {
    "org.opencontainers.image.version"  = TAG
    "org.opencontainers.image.revision" = REVISION
  }
}

target "for-release" {
  platforms = split(",", PLATFORMS)
  attest    = ["type=sbom", "type=provenance,mode=max"]
}

target "service" {
  name       = service
  matrix     = { service = services }
  inherits   = ["image"]
  dockerfile = "services/${service}/Dockerfile"
  tags       = [name(service)]
}

target "shopctl" {
  inherits   = ["image"]
  dockerfile = "tools/shopctl/Dockerfile"
  tags       = [name("shopctl")]
}

target "service-release" {
  name     = "${service}-release"
  matrix   = { service = services }
  inherits = [service, "for-release"]
}

target "shopctl-release" {
  inherits = ["shopctl", "for-release"]
}
