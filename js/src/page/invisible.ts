/** Characters that are invisible, or that reverse the writing direction. */

const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/u;
const JOINER = "\u200d";
const EMOJI_STYLE = "\ufe0f";
const EMOJI = /[\p{Extended_Pictographic}\p{Emoji_Modifier}#*0-9]/u;

/** Whether a character is invisible. Joiners and variation selectors after an emoji belong to the emoji. */
export function isInvisible(characters: readonly string[], index: number): boolean {
  const character = characters[index] ?? "";
  const before = characters[index - 1] ?? "";
  if (!INVISIBLE.test(character)) return false;
  if (character === EMOJI_STYLE) return !EMOJI.test(before);
  return character !== JOINER || (before !== EMOJI_STYLE && !EMOJI.test(before));
}
