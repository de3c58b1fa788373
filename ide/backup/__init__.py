"""Copies of projects in S3: each content once, under its hash; a manifest for each moment."""
from hotpath.ide.backup.backups import Backups

__all__ = ["Backups"]
