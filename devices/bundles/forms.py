"""Forms of bundles and of publishers' keys: they check shape; the services decide."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from devices.forms import WordsField

from .choices import BundleKind

SIGNATURE_BYTES = 64 * 1024
PARTS = ("statement", "algorithm", "key", "signature")


class UploadForm(forms.Form):
    """A new bundle. What a publisher has signed need not be said again."""

    field_names = {"size_bytes": "file", "signed": "signature", "sha256": "file", "piece": "file", "manifest": "file"}

    file = forms.FileField(required=False, allow_empty_file=True)
    size_bytes = forms.IntegerField(required=False, min_value=1, max_value=2**60, widget=forms.HiddenInput)
    name = forms.CharField(max_length=80, required=False)
    version = forms.CharField(max_length=64, required=False)
    kind = forms.ChoiceField(choices=BundleKind.choices, initial=BundleKind.ARCHIVE)
    description = forms.CharField(max_length=2000, required=False)
    device_types = WordsField(required=False, label="Types of devices", help_text="Divided by spaces. Empty: all.")
    signature = forms.FileField(
        required=False, label="Signature file", help_text="What sign_bundle has written (.sig)."
    )

    def clean_signature(self) -> dict[str, str] | None:
        file = self.cleaned_data["signature"]
        if not file:
            return None
        try:
            signed = json.loads(file.read(SIGNATURE_BYTES))
            return {name: str(signed[name]) for name in PARTS}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise forms.ValidationError("This is no signature file.") from None

    def _said(self) -> dict[str, Any]:
        values = self.cleaned_data
        said = {name: values[name] for name in ("name", "version", "kind", "description")}
        return {**said, "device_types": values["device_types"] or None, "signed": values["signature"]}

    def reserved(self) -> dict[str, Any]:
        """The arguments of `reserve_bundle`, when the bytes come later."""
        return {**self._said(), "size_bytes": self.cleaned_data["size_bytes"] or 0}

    def whole(self) -> dict[str, Any]:
        """The arguments of `upload_bundle`."""
        file = self.cleaned_data["file"]
        return {**self._said(), "file": file, "size_bytes": file.size}


class PublisherForm(forms.Form):
    """A publisher's public key."""

    name = forms.CharField(max_length=80)
    public_key = forms.CharField(
        max_length=4096,
        label="Public key",
        help_text="PEM: Ed25519 or P-256. manage.py sign_bundle --new-key prints it.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
