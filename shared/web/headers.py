"""Security headers on every answer; a view that sets one itself keeps its own."""

from flask import Flask, Response

from shared.web.origin import Origin, current_origin

_HSTS_SECONDS = 2 * 365 * 24 * 3600
_FEATURES_OFF = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation",
    "gyroscope", "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock",
    "usb", "xr-spatial-tracking",
)  # fmt: skip
_PERMISSIONS = ", ".join(f"{feature}=()" for feature in _FEATURES_OFF)


def init_app(app: Flask) -> None:
    """Add the headers to every response of the app, errors included."""

    @app.after_request
    def _secure(response: Response) -> Response:
        site = current_origin()
        defaults = {
            "Content-Security-Policy": content_security_policy(site),
            "Permissions-Policy": _PERMISSIONS,
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        if site.secure:
            defaults["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}; includeSubDomains"
        for name, value in defaults.items():
            response.headers.setdefault(name, value)
        return response


def content_security_policy(site: Origin, **directives: str) -> str:
    """The policy of our pages: own scripts and styles only, nothing inline, never framed.

    ``directives`` replace single ones for a page that needs it, underscores for dashes:
    ``content_security_policy(current_origin(), frame_src="'self'")``.
    """
    socket = f"{'wss' if site.secure else 'ws'}://{site.host}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        # 'self' covers sockets only in newer browsers.
        "connect-src": f"'self' {socket}",
        "manifest-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    policy |= {name.replace("_", "-"): value for name, value in directives.items()}
    if site.secure:
        policy["upgrade-insecure-requests"] = ""
    return "; ".join(f"{name} {value}".strip() for name, value in policy.items())
