#!/bin/sh
# refpack.sh FOLDER - makes a reference pack for WPF and Windows Forms out of their runtime pack, which NuGet serves, for a
# .NET SDK on Linux, which brings none. FOLDER is then what -p:NetCoreTargetingPackRoot= wants.
set -eu
folder=${1:?usage: refpack.sh FOLDER}
version=$(dotnet --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App \(10\.[0-9.]*\) .*/\1/p' | tail -1)
[ -n "$version" ] || { echo "refpack: .NET 10 is needed" >&2; exit 1; }
packages=${NUGET_PACKAGES:-$HOME/.nuget/packages}
runtime=$packages/microsoft.windowsdesktop.app.runtime.win-x64/$version
if [ ! -d "$runtime" ]; then
    project=$(mktemp -d)
    cat >"$project/fetch.csproj" <<END
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageDownload Include="Microsoft.WindowsDesktop.App.Runtime.win-x64" Version="[$version]" /></ItemGroup>
</Project>
END
    dotnet restore "$project/fetch.csproj" >&2
    rm -rf "$project"
fi
pack=$folder/Microsoft.WindowsDesktop.App.Ref/$version
mkdir -p "$pack/data" "$pack/ref/net10.0"
cp "$runtime"/runtimes/win-x64/lib/net10.0/*.dll "$pack/ref/net10.0/"
sed -e 's#runtimes/win-x64/lib/net10.0/#ref/net10.0/#' -e '/Type="Native"/d' -e '/Type="Resources"/d' \
    "$runtime/data/RuntimeList.xml" >"$pack/data/FrameworkList.xml"
sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
for other in "$sdk"/packs/*; do ln -sfn "$other" "$folder/${other##*/}"; done
