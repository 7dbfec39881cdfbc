"""Two versions of a product: the one in a form, and the one that somebody else has saved since the form was shown."""

from hashlib import sha256

from storefront.routes.forms import Form

__all__ = ["EDITABLE", "digests", "merge", "text"]

EDITABLE = ("name", "description", "category", "price", "image_url")


def text(form: Form, name: str) -> str:
    """Returns a field with the line breaks of a text area, which browsers send as CR LF, as LF."""
    return form.text(name).replace("\r\n", "\n")


def digests(form: Form) -> str:
    """Returns a digest of each field. A form has them in `was`: they tell which of its fields were changed.

    The fields themselves could make it larger than a request may be.
    """
    return " ".join(sha256(text(form, name).encode()).hexdigest()[:16] for name in EDITABLE)


def merge(form: Form, saved: Form) -> None:
    """Takes the fields that the form did not change from the saved version, to which its changes belong from now on."""
    for name, before, sent in zip(EDITABLE, form.text("was").split(), digests(form).split(), strict=False):
        if sent == before:
            form[name] = saved[name]
    form |= {"version": saved["version"], "was": saved["was"]}
