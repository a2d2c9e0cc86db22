"""What a bundle is as a file: its digests, archive, manifest, signature and cipher. Knows no model and no request."""
