"""Bundles: what is deployed to devices. Uploaded in pieces, checked, sealed, and never changed once one was used."""
