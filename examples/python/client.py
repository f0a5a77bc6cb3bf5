"""Asks a server of its own trust domain, over mutual TLS: python client.py [PORT]"""

import sys

from OpenSSL import SSL
from spiffe import X509Source
from spiffetls import dial
from spiffetls.tlsconfig.authorize import authorize_member_of

with X509Source(timeout_in_seconds=60) as source:
    address = f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 8443}"
    trust_domain = source.get_x509_context().default_svid.spiffe_id.trust_domain
    connection = dial(address, source, authorize_fn=authorize_member_of(trust_domain))
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    try:
        while data := connection.recv(65536):
            answer += data
    except SSL.ZeroReturnError:
        pass  # the server has said all
    connection.close()
    print(answer.partition(b"\r\n\r\n")[2].decode(), end="")
