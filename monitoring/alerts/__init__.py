"""Alerts: what people are told, through which channels, and how it gets there although channels fail."""

from monitoring.alerts.alert import Alert, ChannelError, DeliveryError, alert_of
from monitoring.alerts.channels import CHANNELS, Channel, open_channel

__all__ = ["CHANNELS", "Alert", "Channel", "ChannelError", "DeliveryError", "alert_of", "open_channel"]
