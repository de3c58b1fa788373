"""The store that the tests of backups share."""
from tests.ide.backup.s3 import bucket, faulty, proxy, s3_server

__all__ = ["bucket", "faulty", "proxy", "s3_server"]
