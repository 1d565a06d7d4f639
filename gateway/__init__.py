"""The gateway: NGINX's configuration and the marketing site."""
