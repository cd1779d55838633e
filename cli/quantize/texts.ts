/** What models are compared on where no text is given: prose, a dialogue, a list, code, numbers and other languages. */
export const builtInText = `Once upon a time there was a miller who lived beside a narrow river with his daughter and an old grey horse. The summer had been dry, and the wheel of the mill stood still for weeks. "If the rain does not come before the new moon," said the miller, "we shall have to sell the horse, and then who will carry the flour to town?" His daughter said nothing, but that night she took a lantern and followed the river up into the hills, to see where the water had gone.

She walked until the trees grew thick and the path was only a line of pale stones. At the top of the valley she found a great heap of branches and mud, and behind it a lake as still as glass. On the heap sat a beaver with a wet nose. "Good evening," said the girl. "You have built a very fine house, but my father's wheel no longer turns." The beaver looked at her for a long time. "Nobody has ever wished me a good evening," he said at last. "What will you give me if I open a door in my wall?"

The report was published on 14 March and covers the years from 2009 to 2017. Of the 212 bridges that were inspected, 37 needed repairs within twelve months, and 9 were closed at once. The committee found three causes: water that reached the steel through cracks in the pavement, bearings that had not been greased since they were built, and lorries heavier than the law allows. It recommends that each bridge be inspected every second year, that the results be made public, and that the costs, about 4.6 million a year, be shared between the towns and the province.

Question: Why is the sky blue during the day and red in the evening?
Answer: Sunlight is a mixture of all colours. The molecules of the air scatter short waves, which are blue, much more than long waves, which are red. During the day we see the scattered blue light from all directions. In the evening the light of the sun has a longer way through the air; most of the blue has been scattered out of it, and what is left is red.

def largest_gap(numbers):
    """The largest difference between neighbours of the sorted numbers."""
    ordered = sorted(numbers)
    if len(ordered) < 2:
        return 0
    return max(b - a for a, b in zip(ordered, ordered[1:]))

To make the bread you need 500 grams of flour, 350 millilitres of warm water, two teaspoons of salt and a little yeast. Mix everything in a bowl, cover it with a cloth and wait until the dough is twice as large. Then fold it, put it into a hot oven, and bake it for forty minutes.

Der alte Mann sah aus dem Fenster und sagte, dass es morgen schneien werde. Le lendemain, toute la ville était blanche, et les enfants couraient dans les rues. Por la tarde salió el sol, y la nieve empezó a desaparecer.

"I do not think that he is coming," said the captain, and he folded the letter and put it back into his coat. "Then we shall sail without him," she answered. The wind had turned to the west, the last of the boats had gone out of the harbour, and from the church on the hill they could hear the bell strike seven.
`
