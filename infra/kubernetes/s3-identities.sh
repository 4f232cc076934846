# Prints the users of the S3 store for both places, from the keys in the environment; nothing starts without them all.
# Setup makes the bucket. Workers read and write in it, and nowhere else; MLflow in its own folder.
set -eu
place="${NMT_STORAGE#s3://}"
bucket="${place%%/*}"
user() {
  case "$2$3" in *[!A-Za-z0-9/+=_-]*) echo "$1: a key of S3 has letters, digits and / + = _ - only" >&2; exit 1 ;; esac
  printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' "$1" "$2" "$3" "$4"
}
setup="$(user setup "${NMT_S3_ACCESS_KEY:?}" "${NMT_S3_SECRET_KEY:?}" \
  '"Admin", "Read", "Write", "List", "Tagging"')"
worker="$(user worker "${NMT_S3_WORKER_ACCESS_KEY:?}" "${NMT_S3_WORKER_SECRET_KEY:?}" \
  "\"Read:$bucket\", \"Write:$bucket\", \"List:$bucket\", \"Tagging:$bucket\"")"
mlflow="$(user mlflow "${NMT_S3_MLFLOW_ACCESS_KEY:?}" "${NMT_S3_MLFLOW_SECRET_KEY:?}" \
  "\"Read:$place/mlartifacts/*\", \"Write:$place/mlartifacts/*\", \"List:$place/mlartifacts*\"")"
printf '{"identities": [%s, %s, %s]}\n' "$setup" "$worker" "$mlflow"
