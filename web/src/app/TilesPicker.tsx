import type { Media } from "../call/media";
import { PAGE_SIZES } from "../call/pages";

/** How many people to see at once. */
export function TilesPicker({ media }: { media: Media }) {
  return (
    <label class="field">
      <span>People on a page</span>
      <select
        value={media.tiles.value}
        onChange={({ currentTarget: { value } }) => {
          const chosen = PAGE_SIZES.find((size) => String(size) === value);
          if (chosen) media.chooseTiles(chosen);
        }}
      >
        {PAGE_SIZES.map((size) => (
          <option key={size} value={size}>
            At most {size}
          </option>
        ))}
      </select>
    </label>
  );
}
