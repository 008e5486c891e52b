"""A private certificate authority, so that the stand-ins can speak TLS."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=2)
_NO_USE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
           "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
_SIGNS_CERTIFICATES = x509.KeyUsage(key_cert_sign=True, **dict.fromkeys(_NO_USE, False))
_UNENCRYPTED = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


class Authority:
    """An authority with one server certificate for `localhost` and 127.0.0.1.

    `file`: the certificate that clients must trust, for SSL_CERT_FILE. `server_file`: the server's key and certificate.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        """Create keys and certificates in `folder`. `address` replaces 127.0.0.1."""
        self.file = str(folder / "authority.pem")
        self.server_file = folder / "server.pem"
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("GPT Broker's tests")
        certificate = _builder(name, name, key, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        certificate = certificate.add_extension(_SIGNS_CERTIFICATES, critical=True)
        Path(self.file).write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        own_key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))])
        server = _builder(_name("localhost"), name, own_key, key).add_extension(names, critical=False)
        self.server_file.write_bytes(
            own_key.private_bytes(serialization.Encoding.PEM, *_UNENCRYPTED)
            + server.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def server_context(self) -> ssl.SSLContext:
        """The TLS context of a server with the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """Return a certificate of `key` that `by` will sign, with the key identifiers that Python 3.13 demands."""
    now = datetime.datetime.now(datetime.UTC)
    start = now - datetime.timedelta(hours=1)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    builder = x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), start, now + LIFETIME
    )
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    ).add_extension(identifier, critical=False)
