"""Tells which identities this process has, now and after each change."""

import sys
import threading

from spiffe import WorkloadApiClient


def updated(context):
    for svid in context.x509_svids:
        print(svid.spiffe_id, "until", svid.leaf.not_valid_after_utc.isoformat(), flush=True)


WorkloadApiClient().stream_x509_contexts(updated, lambda error: print(error, file=sys.stderr, flush=True))
try:
    threading.Event().wait()
except KeyboardInterrupt:
    pass  # Ctrl-C ends it
