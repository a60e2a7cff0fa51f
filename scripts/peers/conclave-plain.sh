# Conclave with frames in the clear, as the others get them.

. scripts/peers/conclave.sh
name=conclave-plain
bots+=(--plain)
