"""Lab 14: a change is in the clone, in the pod and in the image; a new service has an image."""

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import cluster_answers, engine_answers, no_shop_on_the_cluster, said, told
from shopctl.place import Place

lab = Lab()

TITLE = "My bank"
ASK = "import json, urllib.request as h; print(json.load(h.urlopen('http://localhost:8000/openapi.json'))['info']['title'])"


def skaffold_answers() -> None:
    said("skaffold", "version")


def unchanged() -> None:
    if changed := said("git", "status", "--porcelain", "services/psp"):
        raise Missing(changed.splitlines()[0])


lab.start("a cluster answers", remedy="see lab 5, which tells how to name your namespace", look=cluster_answers)
lab.start("a Docker Engine answers", remedy="docker version", look=engine_answers)
lab.start(
    "Skaffold is installed",
    remedy="see https://skaffold.dev/docs/install/",
    look=skaffold_answers,
)
lab.start("the namespace has no shop", remedy="make cluster-down", look=no_shop_on_the_cluster)
lab.start("services/psp is as it was committed", remedy="git restore services/psp", look=unchanged)

lab.question("b", hint="Look at the age and the restarts of the pod after the change.")
lab.question("a", hint="From what does a new pod start? Where did Skaffold put the changed file?")
lab.question("c", hint="You saw what the pod answered after `def` was saved.")
lab.question("c", hint="Count the failures of `tests/contracts/test_services.py` once more.")


@lab.check("the payment provider on the cluster has the new title", points=1, hint="Is `skaffold dev` running?")
def live() -> None:
    title = said("kubectl", "exec", "psp-0", "--", "python", "-c", ASK)
    if title != TITLE:
        raise Missing(f"its title is {title}")


@lab.check("your clone has it", points=1, hint="A pod is no place to keep a change: edit the file in services/psp.")
def written() -> None:
    sources = (Place.here().root / "services/psp/src").rglob("*.py")
    if not any(TITLE in path.read_text() for path in sources):
        raise Missing(f"no file in services/psp/src names {TITLE}")


@lab.check(
    "its image has it, so that each new pod has it",
    points=2,
    hint="`skaffold dev` copies the file into a running pod. Which command of Skaffold builds and installs once?",
)
def built() -> None:
    code = said("kubectl", "exec", "psp-0", "--", "sh", "-c", "cat /app/psp/*.py /app/psp/*/*.py")
    if TITLE not in code:
        raise Missing("the code in the pod's image is the old one")


@lab.check(
    "your service has an image quayside/reviews:lab14, which runs it without root",
    points=2,
    hint="The test in the copy names the line that docker-bake.hcl needs; IMAGES and TAG give an image its name.",
)
def imaged() -> None:
    (image,) = told("docker", "image", "inspect", "quayside/reviews:lab14")
    if "reviews.main:create" not in " ".join(image["Config"].get("Cmd") or []):
        raise Missing("this image does not start reviews.main")
    if image["Config"].get("User", "").split(":")[0] in ("", "0", "root"):
        raise Missing("this image runs as root")
