"""Greets, over mutual TLS, whoever belongs to its own trust domain: python server.py [PORT]"""

import sys
import threading

from cryptography.x509 import SubjectAlternativeName, UniformResourceIdentifier
from OpenSSL import SSL
from spiffe import X509Source
from spiffetls import ListenOptions, ServerTlsMode, listen
from spiffetls.tlsconfig.authorize import authorize_member_of


def peer_id(connection):
    certificate = connection.get_peer_certificate().to_cryptography()
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return names.get_values_for_type(UniformResourceIdentifier)[0]


def greet(connection):
    try:
        connection.do_handshake()
        connection.recv(65536)
        connection.sendall(f"HTTP/1.0 200 OK\r\n\r\nhello {peer_id(connection)}\n".encode())
        connection.shutdown()
    except (SSL.Error, OSError) as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        connection.close()


with X509Source(timeout_in_seconds=60) as source:
    svid_id = source.get_x509_context().default_svid.spiffe_id
    options = ListenOptions(tls_mode=ServerTlsMode.MTLS, authorize_fn=authorize_member_of(svid_id.trust_domain))
    listener = listen(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 8443}", source, options)
    print(f"{svid_id} listens on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        # Who connects and says nothing holds up nobody else.
        threading.Thread(target=greet, args=(connection,), daemon=True).start()
