"""A certificate authority and its certificates, made for one run and never committed."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificates:
    ca_file: str
    cert_file: str
    key_file: str


class Authority:
    """An authority whose certificate is `ca.pem` in a folder.

    :param name: of its subject
    """

    def __init__(self, folder: str, name: str = "file-keeper tests CA"):
        self.folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        stem: str = "",
        hosts: Sequence[str] = LOOPBACK,
        *,
        ended: bool = False,
        client: bool = False,
        password: str = "",
    ) -> Certificates:
        """Write a certificate and its key, good for a day.

        :param stem: before the names of its files
        :param ended: it was good until a minute ago
        :param client: it is for a client, not for a server
        :param password: of the key
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        certificate = (
            self._builder(hosts[0], key.public_key(), ended=ended)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_name_of(host) for host in hosts]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return Certificates(
            self.ca_file,
            self._write(f"{stem}cert.pem", certificate.public_bytes(pem)),
            self._write(f"{stem}key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked)),
        )

    def _builder(self, subject: str, key: ec.EllipticCurvePublicKey, *, ended: bool = False) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now - datetime.timedelta(minutes=1) if ended else now + datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(end)
            # Python's and Node's verifiers, when strict, want both key identifiers.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def _write(self, name: str, content: bytes) -> str:
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        return path


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_certificates(folder: str) -> Certificates:
    """Write `ca.pem`, `cert.pem` and `key.pem`, good for a day for 127.0.0.1, ::1 and localhost, into `folder`."""
    return Authority(folder).issue()


def server_context(made: Certificates, *, clients: str = "", version: str = "TLSv1_3") -> ssl.SSLContext:
    """Return the context of a server that speaks one version of TLS.

    :param clients: a file of the authorities whose clients it takes, and no others
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert_file, made.key_file)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context
