#!/bin/sh
mkdir -p build-aux m4 && autoreconf --install --force
