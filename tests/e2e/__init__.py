"""Tests of whole servers, from outside, over real sockets."""
