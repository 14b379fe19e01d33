"""Who is nearest by day to the people seen by night: python examples/search.py DATASET RUN"""

import sys

import duskmatch


def main(path: str, run: str) -> None:
    pair = duskmatch.open_dataset(path).direction("infrared_to_visible")
    embedder = duskmatch.load_embedder(run)
    query, gallery = embedder.embed(pair.query), embedder.embed(pair.gallery)
    ranking = duskmatch.rank(query, gallery, camera_rule="same-pid-same-camera", k=5)
    for row, tracklet in enumerate(pair.query[:10]):
        print(f"{tracklet.tracklet_id}:")
        for place, (column, dist) in enumerate(zip(ranking.indices[row], ranking.dist[row], strict=True), start=1):
            if column >= 0:  # -1 where the camera rule left fewer
                right = "right" if ranking.matches[row, place - 1] else "wrong"
                print(f"  {place}. {pair.gallery[column].tracklet_id}  distance {dist:.3f}  {right}")


if __name__ == "__main__":
    main(*sys.argv[1:])
