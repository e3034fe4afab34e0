"""Starts as a Python function does on Lambda: imports boto3, makes the named clients, requests the first event."""

import http.client
import os
import sys

import boto3

clients = [boto3.client(service) for service in sys.argv[1:]]
runtime_api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
runtime_api.request("GET", "/2018-06-01/runtime/invocation/next")
runtime_api.getresponse()
