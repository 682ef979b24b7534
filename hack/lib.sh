# What the scripts of this tree share. Source it; it defines functions and the
# cache directory, and does nothing else.

# Everything that is fetched or built and outlives a build is kept here.
KATA_CACHE=${KATA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kata}
# An absolute path, because callers change directory; created here, because
# everything that follows writes to it.
KATA_CACHE=$(mkdir -p "$KATA_CACHE" && cd "$KATA_CACHE" && pwd)

# Progress goes to stderr: stdout is for what a caller reads.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

sha256() { sha256sum -- "$@" | cut -d' ' -f1; }

# debian_mirror prints the mirror this machine gets Debian from. apt parses its
# own configuration, so one-line and deb822 sources both work.
debian_mirror() {
	local codename mirror
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	mirror=$(apt-get indextargets --no-release-info \
		--format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$codename" '$2 == "main" && ($1 == suite || $1 == "stable") { print $3; exit }')
	[ -n "$mirror" ] || die "apt's sources name no Debian mirror (main of ${codename:-unknown}); this needs a Debian host"
	echo "${mirror%/}"
}

# apt_transport prints how this machine's apt reaches mirrors (proxies, time
# outs) as apt configuration. Which sources it has and what it runs afterwards
# is left out, and so is any permission to skip verification.
apt_transport() { apt-config dump | grep -iE '^Acquire::' | grep -viE 'IndexTargets|Insecure|Weak'; }

# private_apt DIR SUITE [ARCHITECTURE] makes this shell's apt one of its own, kept below
# DIR, that knows only SUITE of Debian's main archive; call it in a subshell. The
# host's apt state is neither read nor changed and its hooks do not run. The
# archive's signature is verified against Debian's keyring and nothing else, so
# "apt-get download" yields only what Debian signed.
private_apt() {
	local dir=$1 suite=$2 arch=${3:-$(dpkg --print-architecture)} keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
	[ -s "$keyring" ] || die "$keyring is missing, so a download could not be verified (install debian-archive-keyring)"
	mirror=$(debian_mirror)
	mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial "$dir"/etc/{apt.conf,preferences,sources.list,trusted.gpg}.d
	: >"$dir/status"
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$dir/etc/sources.list"
	{
		apt_transport
		cat <<-EOF
			Dir::Etc "$dir/etc"; Dir::Etc::netrc "/etc/apt/auth.conf"; Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
			Dir::State "$dir/state"; Dir::State::status "$dir/status"; Dir::Cache "$dir/cache";
			Acquire::Languages "none"; APT::Sandbox::User "root";
			APT::Architecture "$arch"; APT::Architectures { "$arch"; };
		EOF
	} >"$dir/apt.conf"
	export APT_CONFIG="$dir/apt.conf"
	apt-get -qq update >&2 || die "cannot read the index of $suite at $mirror"
}
