"""infra keeps: settings, stores, the gateway, the control room and the services of one machine."""
