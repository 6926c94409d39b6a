"""Certificates for tests, made by the openssl program (openssl-req(1), openssl-x509(1), openssl-ca(1))."""

from __future__ import annotations

import subprocess
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_CA = """\
[ca]
default_ca = it
[it]
database = {directory}/index.txt
crlnumber = {directory}/crlnumber
default_md = sha256
default_crl_days = 2
"""


class Authority:
    """A certificate authority in a directory of its own; ``ca`` is what its clients trust."""

    def __init__(self, directory: Path) -> None:
        self.ca = directory / "ca.pem"
        self._directory = directory

    def begin(self) -> Authority:
        """Make the authority's own certificate."""
        self._directory.mkdir()
        self._openssl("req", "-x509", *_CURVE, "-keyout", self._directory / "ca.key", "-out", self.ca, "-subj", "/CN=Tests")
        return self

    def issue(self, name: str, host: str = "", days: int = 2) -> tuple[Path, Path]:
        """A certificate and its key; ``host`` such as ``IP:127.0.0.1``; with negative ``days`` it has expired."""
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {host}\n" if host else "")
        self._openssl("req", *_CURVE, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signed_by = ("-CA", self.ca, "-CAkey", self._directory / "ca.key", "-CAcreateserial", "-days", str(days))
        self._openssl("x509", "-req", "-in", request, "-out", cert, "-extfile", extensions, *signed_by)
        return cert, key

    def revoke(self, *certificates: Path) -> Path:
        """The revocation list with these certificates on it."""
        conf, crl = self._directory / "ca.conf", self._directory / "crl.pem"
        conf.write_text(_CA.format(directory=self._directory))
        (self._directory / "index.txt").write_text("")
        (self._directory / "crlnumber").write_text("01\n")
        common = ("ca", "-config", conf, "-cert", self.ca, "-keyfile", self._directory / "ca.key")
        for certificate in certificates:
            self._openssl(*common, "-revoke", certificate)
        self._openssl(*common, "-gencrl", "-out", crl)
        return crl

    def _openssl(self, *arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
