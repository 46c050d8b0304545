#!/bin/sh
# Fetch Debian unstable's git and git-lfs, with the libraries that they need, into a folder; print it for TEST_GIT.
#
#     TEST_GIT=$(tests/newest_git.sh) make test
#
# The machine's own Debian mirror is asked for, by its list of sources with the suite's name changed; nothing is
# installed. Status 0: the directory stands on standard output; 1: it could not be fetched, and standard error says why.
set -eu

folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/git-coderepo/newest-git}

fail() {
	echo "newest git: $1" >&2
	exit 1
}

if [ -x "$folder/bin/git" ]; then
	echo "$folder/bin"
	exit 0
fi
for program in apt-get apt-cache dpkg; do
	command -v "$program" >/dev/null || fail "there is no $program: this is no Debian"
done

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/newest-git.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/lists/partial" "$work/packages"

# The first Debian archive of the machine, in either form of the list, as unstable's.
: >"$work/unstable.sources"
: >"$work/unstable.list"
for list in /etc/apt/sources.list.d/*.sources; do
	[ -s "$work/unstable.sources" ] || [ ! -f "$list" ] ||
		awk '
			/^#/ { next }
			/^[[:space:]]*$/ { if (take(text)) exit; text = ""; next }
			{ text = text $0 "\n" }
			END { take(text) }
			function take(text) {
				if (done || text !~ /(^|\n)URIs:[^\n]*\/debian\/?[[:space:]]*(\n|$)/) return 0
				sub(/\nSuites:[^\n]*/, "\nSuites: unstable", text)
				sub(/\nComponents:[^\n]*/, "\nComponents: main", text)
				printf "%s", text
				return done = 1
			}' "$list" >"$work/unstable.sources"
done
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ -s "$work/unstable.list" ] || [ ! -f "$list" ] ||
		sed -n -E 's|^deb( +\[[^]]*\])? +([^ ]*/debian/?) +[^ ]+ +.*|deb\1 \2 unstable main|p' "$list" |
		head -n 1 >"$work/unstable.list"
done
if [ -s "$work/unstable.sources" ]; then
	sources=$work/unstable.sources
elif [ -s "$work/unstable.list" ]; then
	sources=$work/unstable.list
else
	fail 'no Debian archive is in the list of sources of this machine'
fi

cat >"$work/apt.conf" <<-END
	Dir::Etc::sourcelist "$sources";
	Dir::Etc::sourceparts "/dev/null";
	Dir::State::Lists "$work/lists";
	Dir::Cache::pkgcache "";
	Dir::Cache::srcpkgcache "";
	Acquire::Languages "none";
	Acquire::Retries "2";
	Acquire::http::Timeout "20";
	Acquire::https::Timeout "20";
END
export APT_CONFIG="$work/apt.conf"
apt() {
	apt-get -qq "$@" >"$work/log" 2>&1 || fail "apt-get $1: $(grep -v '^W:' "$work/log" | tail -n 1)"
}
apt update
libraries() {
	apt-cache depends --important "$1" | sed -n -E '/-perl$/d; s/^ *\|?(Pre)?Depends: (lib|zlib)/\2/p'
}
# shellcheck disable=SC2046 # a list of words
needed=$(apt-cache depends --recurse --important $(libraries git) | grep -E '^(lib|zlib)')
# shellcheck disable=SC2086
(cd "$work/packages" && apt download git git-lfs $needed) || exit 1
for package in "$work"/packages/*.deb; do
	dpkg -x "$package" "$work/root"
done

# Each program starts through the folder's own loader; links to `git` then lead to its wrapper, which keeps their name.
loader=$(find "$work/root" -name 'ld-linux*' -o -name 'ld64.so*' | head -n 1)
[ -n "$loader" ] || fail 'libc6 holds no loader'
loader=$folder${loader#"$work"}
library_path=$folder/$(cd "$work" && dirname "$(find root -name libc.so.6 | head -n 1)")
mv "$work/root/usr/bin" "$work/bin"
mkdir "$work/programs"
for program in "$work"/bin/* "$work"/root/usr/lib/git-core/*; do
	[ -f "$program" ] || continue
	[ ! -L "$program" ] || continue
	[ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
	name=$(basename "$program")
	mv "$program" "$work/programs/$name"
	cat >"$program" <<-END
		#!/bin/sh
		GIT_EXEC_PATH='$folder/root/usr/lib/git-core'
		export GIT_EXEC_PATH
		exec '$loader' --argv0 "\$0" --library-path '$library_path' '$folder/programs/$name' "\$@"
	END
	chmod 755 "$program"
done
rm -rf "$work/lists" "$work/packages" "$work/log" "$work/apt.conf" "$work"/unstable.* "$folder"
chmod 755 "$work"
mv "$work" "$folder"
trap - EXIT INT TERM
"$folder/bin/git" version >&2 || fail 'the git that was fetched does not start here'
echo "$folder/bin"
