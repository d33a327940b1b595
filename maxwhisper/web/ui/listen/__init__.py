"""The Listen & diff tab: hear the recording and compare the transcripts."""
