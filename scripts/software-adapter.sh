#!/usr/bin/env bash
# Installs a software WebGPU adapter: Mesa's lavapipe, a Vulkan driver that runs on the CPU.
#
#   scripts/software-adapter.sh             as root: through apt; nothing to export but XDG_RUNTIME_DIR
#   eval "$(scripts/software-adapter.sh)"   otherwise: unpacked into a cache folder; prints the variables to export
#
# Debian 12's own Mesa (22.3) is too old for Dawn, which then finds no adapter, so the driver comes from bookworm-backports.
# The mirror is the one in the machine's own apt sources. Standard output holds `export` lines only; all else goes to standard error.
set -euo pipefail

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")

mirror() {
  local found=""
  if [ -f /etc/apt/sources.list.d/debian.sources ]; then
    found=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -1)
  elif [ -f /etc/apt/sources.list ]; then
    found=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z]+:\/\//) { print $i; exit } }' /etc/apt/sources.list)
  fi
  [ -n "$found" ] || { echo "no Debian mirror in the apt sources of this machine" >&2; exit 1; }
  echo "$found"
}

# Whether the installed driver is new enough (Mesa 24 or later).
installed() {
  local version
  version=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true)
  [ -n "$version" ] && dpkg --compare-versions "$version" ge 24 && dpkg-query -W libvulkan1 >/dev/null 2>&1
}

as_root() {
  local target=()
  if [ "$release" = bookworm ]; then
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' "$(mirror)" "$keyring" \
      > /etc/apt/sources.list.d/backports.sources
    target=(-t bookworm-backports)
  fi
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${target[@]}" mesa-vulkan-drivers libvulkan1 >&2
}

# Downloads and unpacks the driver, its loader and its LLVM; about 35 MB, 176 MB unpacked.
as_user() {
  [ "$release" = bookworm ] || { echo "without root only Debian 12 is supported; install mesa-vulkan-drivers" >&2; exit 1; }
  local folder="${XDG_CACHE_HOME:-$HOME/.cache}/weft/software-adapter" libraries url
  if [ ! -f "$folder/lavapipe.json" ]; then
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/root"
    url=$(mirror)
    printf 'deb [signed-by=%s] %s bookworm-backports main\ndeb [signed-by=%s] %s bookworm main\n' \
      "$keyring" "$url" "$keyring" "$url" > "$folder/sources.list"
    local options=(-qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
      -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    apt-get "${options[@]}" update >&2
    (cd "$folder" && apt-get "${options[@]}" download \
      mesa-vulkan-drivers/bookworm-backports libvulkan1/bookworm libllvm15/bookworm >&2)
    for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
    rm -f "$folder"/*.deb
    sed "s#\"libvulkan_lvp.so\"#\"$folder/root/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so\"#" \
      "$folder"/root/usr/share/vulkan/icd.d/lvp_icd*.json > "$folder/lavapipe.json.part"
    mv "$folder/lavapipe.json.part" "$folder/lavapipe.json"
  fi
  libraries="$folder/root/usr/lib/x86_64-linux-gnu"
  echo "export LD_LIBRARY_PATH=\"$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\""
  echo "export VK_ICD_FILENAMES=\"$folder/lavapipe.json\""
}

if ! installed; then
  if [ "$(id -u)" = 0 ]; then as_root; else as_user; fi
fi
echo "export XDG_RUNTIME_DIR=/tmp"
