#!/bin/sh
# Builds nginx from Debian's source package without --with-debug, which Debian's own binary has, into
# ${XDG_CACHE_HOME:-~/.cache}/hotpath-bench/nginx. Takes 10 MB of package lists, 25 s of one CPU, gcc and make; leaves the
# system's apt configuration alone. PCRE and the rewrite module are left out: the measured configuration uses neither.
set -eu
target=${XDG_CACHE_HOME:-$HOME/.cache}/hotpath-bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$target" "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/nginx"
chmod 755 "$work"
cat > "$work/parts/src.sources" <<END
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
own_apt() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
own_apt update
cd "$work"
own_apt source --download-only nginx
tar xf nginx_*.orig.tar.gz -C nginx --strip-components=1
cd nginx
./configure --without-pcre --without-http_rewrite_module --with-threads --with-http_ssl_module --with-http_v2_module \
    --with-cc-opt='-g -O2 -fstack-protector-strong -fPIC -D_FORTIFY_SOURCE=2' \
    --with-ld-opt='-Wl,-z,relro -Wl,-z,now' > configure.log || { tail -20 configure.log; exit 1; }
make > make.log 2>&1 || { tail -20 make.log; exit 1; }
cp objs/nginx "$target/nginx"
"$target/nginx" -v
