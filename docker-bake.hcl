# All images: `docker buildx bake`, or `make images`. The names are IMAGES/<name>:TAG.

variable "IMAGES" { default = "quayside" }
variable "TAG" { default = "dev" }

# Set only for images that are pushed, so that an image for this machine does not change with every commit.
variable "REVISION" { default = "" }
variable "SOURCE_DATE_EPOCH" { default = "" }
variable "PLATFORMS" { default = "linux/amd64,linux/arm64" }

services = ["catalog", "cart", "identity", "order", "payment", "psp", "storefront"]

group "default" { targets = ["service", "shopctl", "loadtest"] }

# The images of a release: every platform, with a bill of materials and provenance.
group "release" { targets = ["service-release", "shopctl-release", "loadtest-release"] }

target "image" {
  context = "."
  args    = SOURCE_DATE_EPOCH == "" ? {} : { SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
  labels = REVISION == "" ? {} : {
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
  tags       = ["${IMAGES}/${service}:${TAG}"]
}

target "shopctl" {
  inherits   = ["image"]
  dockerfile = "tools/shopctl/Dockerfile"
  tags       = ["${IMAGES}/shopctl:${TAG}"]
}

target "loadtest" {
  inherits   = ["image"]
  dockerfile = "loadtests/Dockerfile"
  tags       = ["${IMAGES}/loadtest:${TAG}"]
}

target "service-release" {
  name     = "${service}-release"
  matrix   = { service = services }
  inherits = [service, "for-release"]
}

target "shopctl-release" {
  inherits = ["shopctl", "for-release"]
}

target "loadtest-release" {
  inherits = ["loadtest", "for-release"]
}
