"""Asyncio and trio client for the EzCaptcha and 1captcha APIs."""

__version__ = "0.1.0"
