"""Slack in small: durable before delivered."""
