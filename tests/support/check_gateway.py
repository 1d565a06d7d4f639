"""`python -m tests.support.check_gateway`: NGINX and gixy on the configuration as each place renders it."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from embedded.nginx import GATEWAY, binary, derive, render

GIXY = (
    str(Path(sys.executable).parent / "gixy"),
    # the question about the identity deliberately carries nothing but the credential and these
    "--proxy-set-header-redefinition-headers=host,x-real-ip,x-request-id,cookie,authorization,connection",
)
UPSTREAMS = ("AUTH", "BILLING", "NOTIFY", "SIGNALS", "LIVE")


def variants(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """The settings of each place, as embedded/__main__.py, compose.yaml and a load balancer would have them.

    PREBUILT_GZIP stays off: the wheel's NGINX lacks that module, the image's has it.
    """
    keys = folder / "the keys"
    keys.mkdir()
    certificate, key = self_signed(keys)
    return {
        "embedded": {
            "PORT": "8000",
            "LISTEN_ADDRESS": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1:8000",
            **{f"{name}_UPSTREAM": "127.0.0.1:9000" for name in UPSTREAMS},
        },
        "container": {"PORT": "8080", "PUBLIC_URL": "http://127.0.0.1:8080", "RESOLVER": "127.0.0.11"},
        "production": {
            "PORT": "8443",
            "PUBLIC_URL": "https://boritrader.example",
            "ALLOWED_HOSTS": "boritrader.example www.boritrader.example",
            "TLS_CERTIFICATE": str(certificate),
            "TLS_KEY": str(key),
            "TRUSTED_PROXIES": "10.0.0.0/16 10.1.0.0/16",
            "RESOLVER": "169.254.169.253",
            **{f"{name}_UPSTREAM": f"{name.lower()}.boritrader.internal:8000" for name in UPSTREAMS},
        },
    }


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key for a few minutes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "boritrader.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def check(name: str, settings: Mapping[str, str], folder: Path) -> bool:
    """Whether both programs accept the configuration; what they say is printed."""
    # with a blank, as in somebody's "My Projects"
    place = folder / f"{name} gateway"
    place.mkdir()
    common = {
        "ROUTES_DIR": str(GATEWAY),
        "TEMP_DIR": str(place),
        "ACCESS_LOG": str(place / "access.log"),
        "NGINX": str(binary()),
    }
    configuration = place / "nginx.conf"
    template = (GATEWAY / "nginx.conf.template").read_text()
    configuration.write_text(render(template, derive({**common, **settings})))
    commands = (
        [str(binary()), "-t", "-q", "-p", str(place), "-c", str(configuration)],
        [*GIXY, str(configuration)],
    )
    good = True
    for command in commands:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            good = False
            print(f"{name}: {Path(command[0]).name}\n{ran.stdout}{ran.stderr}", file=sys.stderr)  # noqa: T201 - a command
    print(f"{name}: {'good' if good else 'refused'}")  # noqa: T201 - a command
    return good


def main() -> int:
    """The command: status 1 when a variant is refused."""
    with tempfile.TemporaryDirectory() as folder:
        results = [check(*variant, Path(folder)) for variant in variants(Path(folder)).items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
