"""What a study is: its file, checked; search spaces; how many trials each arm gets."""
