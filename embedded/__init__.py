"""Everything on one machine: real PostgreSQL, Valkey and NGINX from wheels, and all services in one process."""
